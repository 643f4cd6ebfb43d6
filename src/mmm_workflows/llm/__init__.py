"""Language models that may speak but not invent: replies are typed values, checked by schema."""
