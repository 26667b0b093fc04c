-- Refresh the ownership of entries in hand, but never take one back that another consumer claimed.
-- KEYS: the stream. ARGV: group, consumer, entry ids. Returns how many are still owned.
local held = 0
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 1 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    held = held + 1
  end
end
return held
