"""A CPU-heavy function: it counts primes with a sieve, so more CPU makes it faster."""


def handler(event, context):
    limit = event["limit"]
    sieve = bytearray([1]) * (limit + 1)
    sieve[0:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            for multiple in range(number * number, limit + 1, number):
                sieve[multiple] = 0
    return {"primes": sum(sieve)}
