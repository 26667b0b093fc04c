-- The only place that acknowledges: append all results and acknowledge, or nothing.
-- KEYS: the input stream, then the streams that results go to.
-- ARGV: group, consumer, entry id, then pairs (index into KEYS, event bytes).
-- Returns 1, or 0 when this consumer no longer owns the entry: the fence.
local owned = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #owned == 0 then
  return 0
end
for i = 4, #ARGV, 2 do
  redis.call('XADD', KEYS[tonumber(ARGV[i])], '*', 'event', ARGV[i + 1])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return 1
