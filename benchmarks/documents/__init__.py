"""Tables of the documents, made of the results."""
