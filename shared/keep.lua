-- Take an offer back; returns 1 while the consumer still owns the entry, 0 where it was taken.
-- KEYS: the offer, the stream. ARGV: group, consumer, entry id.
redis.call('DEL', KEYS[1])
return #redis.call('XPENDING', KEYS[2], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
