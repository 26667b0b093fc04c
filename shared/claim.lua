-- Take over what dead consumers left pending.
-- KEYS: the stream. ARGV: group, consumer, idle milliseconds, count.
-- Returns a list of {entry id, event bytes, attempt}.
local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', ARGV[4])[2]
local claimed = {}
for i, entry in ipairs(found) do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
  claimed[i] = {entry[1], entry[2][2], pending[1][4]}
end
return claimed
