"""The web face: Chainlit mounted in a FastAPI app."""
