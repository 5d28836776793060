"""What schemathesis cannot know of Trailseal's interface: bodies that are TOML, and texts that only the server makes."""

import os
import re

import schemathesis
from hypothesis import strategies

# Policies that keep recording, so that the rest of the run has something to find.
POLICIES = [
    'mode = "async"\n',
    'mode = "sync"\ntimeout_ms = 5000\n',
    'mode = "async"\n\n[[rule]]\nwhen = { category = "authentication" }\nmode = "sync"\n',
]

schemathesis.openapi.format("trailseal-policy", strategies.sampled_from(POLICIES))


@schemathesis.serializer("application/toml")
def toml(_context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


# Cursors that the server gave out, by `order` and `order_by`. A cursor belongs to a query of its own order.
CURSORS = {
    (order, order_by): os.environ[f"TRAILSEAL_CURSOR_{order}_{order_by}"]
    for order in ("asc", "desc")
    for order_by in ("time", "recorded")
}
schemathesis.openapi.format("trailseal-cursor", strategies.sampled_from(sorted(CURSORS.values())))


@schemathesis.hook
def before_call(context, case, kwargs):
    query, body = case.query, case.body
    if query and query.get("cursor") in CURSORS.values():
        usual = "asc" if "history" in context.operation.path else "desc"
        order = (str(query.get("order", usual)), str(query.get("order_by", "time")))
        query["cursor"] = CURSORS.get(order, query["cursor"])
    # What strict refuses, no schema can say: it may refuse any body.
    if context.operation.path == "/v1/events" and query and str(query.get("strict")).lower() == "true":
        query["strict"] = "false"
    # An end that has not passed. One that is no time stays as it is.
    if context.operation.path == "/v1/tokens" and isinstance(body, dict) and isinstance(body.get("expires"), str):
        body["expires"] = re.sub(r"^[0-9]{4}(?=-[0-9]{2}-[0-9]{2}T)", "2999", body["expires"])
    # An event that is there. A body that is none that could be meant stays as it is.
    if context.operation.path == "/v1/reviews" and isinstance(body, dict) and isinstance(body.get("event"), str):
        body["event"] = str(10 + len(body["event"]) % 200)
