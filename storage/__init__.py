"""The ground: tables, queries, artifacts, and the states that are stored."""
