"""How few bits each layer can spare: sensitivities, and the search within a budget."""
