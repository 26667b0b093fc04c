-- Keep a message that never became an entry, once, however often it is delivered.
-- KEYS: the mark of the message id, the dead stream. ARGV: event bytes, seconds of the mark.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'event', ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'settled')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
