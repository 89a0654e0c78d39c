"""The database as the settings name it, brought up to date."""

from bot.settings import Settings
from bot.stopping import CannotGoOnError
from storage.database_errors import CannotUseDatabase
from storage.migrations import upgrade


async def bring_up_to_date(settings: Settings) -> None:
    """Make its tables, or change them. Raises CannotGoOnError(``database.<code>``) where it cannot be used."""
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        await upgrade(settings.database_url)
    except CannotUseDatabase as error:
        raise CannotGoOnError(f"database.{error.code}", url=error.url, words=error.words) from error
