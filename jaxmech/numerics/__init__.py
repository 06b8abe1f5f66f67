"""Numbers and arrays without economics: roots, searches, isotonic regression, series, derivatives, batches."""
