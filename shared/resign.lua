-- Give the lead up at once, so that a standby need not wait for it to run out.
-- KEYS: the active key. ARGV: consumer.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
