"""Outside options where laws are not regular: V and Ω on nodes (beyond §16)."""
