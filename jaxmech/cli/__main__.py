"""`python -m jaxmech.cli`."""

import sys

from jaxmech.cli import main

sys.exit(main())
