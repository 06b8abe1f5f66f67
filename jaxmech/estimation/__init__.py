"""From data to markets: tables of observations, fits of laws, bands."""
