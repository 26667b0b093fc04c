-- What was requeued as what. KEYS: the hash of the letters that were requeued.
return redis.call('HGETALL', KEYS[1])
