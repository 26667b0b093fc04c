-- Offer an entry in hand to another consumer of the group.
-- KEYS: the offer. ARGV: the owner, milliseconds, channel, message.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
