"""How few bits each layer needs: sensitivities, and the search within a budget."""
