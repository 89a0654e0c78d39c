"""The loops that make the world match the database, each act safe to repeat."""

from bot.reconcile.loop import Loops
from bot.reconcile.models import register_prepared
from bot.reconcile.under_way import is_under_way

__all__ = ["Loops", "is_under_way", "register_prepared"]
