"""The OpenAI-compatible endpoint: programs reach services with keys, and never the model servers behind them."""
