"""The long training on a GPU of another computer that has no network: what travels, and the stages that run there."""
