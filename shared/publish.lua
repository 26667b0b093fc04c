-- Publish a result once: the key that keeps it is the gate for the messages.
-- KEYS: the job key. ARGV: document, time to live in seconds, channels.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
  return 0
end
for i = 3, #ARGV do
  redis.call('PUBLISH', ARGV[i], ARGV[1])
end
return 1
