"""The optimal mechanism of a market (theory §2–6, §10, §11): from virtual types to the certificate."""
