"""The assistant, its dialogs and its terminal face."""
