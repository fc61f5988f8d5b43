"""Equal mathematics in operations that a backend takes whole."""
