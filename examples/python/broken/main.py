"""A failing function: it asks for a key that its input does not have."""


def handler(event, context):
    return {"total": event["price"] * event["quantity"]}
