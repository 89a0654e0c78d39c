"""Model servers, the services on them, and the streamed answer."""
