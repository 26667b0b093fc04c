"""A light function: it greets and counts how often its process was used."""

calls = 0


def handler(event, context):
    global calls
    calls += 1
    print(f"greeting {event['name']}")
    return {"greeting": f"Hello, {event['name']}!", "calls": calls}
