"""A memory-heavy function: it paints a picture in memory and sums its tiles."""


def handler(event, context):
    side = event["megabytes"] * 1024
    picture = bytearray(side * 1024)
    for start in range(0, len(picture), 4096):
        picture[start] = start % 251
    return {"bytes": len(picture), "sum": sum(picture[::4096])}
