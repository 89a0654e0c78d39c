"""Who the app is, its connections and the end of its tokens: ``auth.*``, ``apps.*``."""

from tests.slack_emulator.api import Call, method
from tests.slack_emulator.state import Json, Refused


@method("auth.test")
def auth_test(call: Call) -> Json:
    workspace = call.workspace
    return {
        "url": f"https://{workspace.domain}.slack.com/",
        "team": workspace.name,
        "user": call.slack.app_name.lower(),
        "team_id": workspace.team_id,
        "user_id": workspace.bot_user_id,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


@method("auth.revoke", optional="test", tier=3)
def revoke(call: Call) -> Json:
    if call.flag("test"):
        return {"revoked": False}
    assert call.token is not None
    tokens = {"oauth": [], "bot": [call.workspace.bot_user_id]}
    event: Json = {"type": "tokens_revoked", "tokens": tokens, "event_ts": call.slack.ids.stamp()}
    call.workspace.emit(event, "tokens_revoked")
    call.token.revoked_as = "token_revoked"
    return {"revoked": True}


@method("apps.uninstall", required="client_id client_secret", tier=1)
def uninstall(call: Call) -> Json:
    if (call.get("client_id"), call.get("client_secret")) != (call.slack.client_id, call.slack.client_secret):
        raise Refused("invalid_client_id")
    call.workspace.uninstall()
    return {}


@method("apps.connections.open", tier=3, token_kind="app")
def open_connection(call: Call) -> Json:
    ticket = call.slack.secret()
    call.slack.delivery.tickets.add(ticket)
    where = call.slack.address.replace("http://", "ws://")
    return {"url": f"{where}/link/?ticket={ticket}&app_id={call.slack.app_id}"}
