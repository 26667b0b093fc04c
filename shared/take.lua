-- Take an offered entry over: only while the offer stands and the owner still has it.
-- KEYS: the offer, the stream. ARGV: group, the owner, the taker, entry id.
-- Returns {event bytes, attempt}; nothing where the offer is gone.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return false
end
redis.call('DEL', KEYS[1])
local pending = redis.call('XPENDING', KEYS[2], ARGV[1], ARGV[4], ARGV[4], 1, ARGV[2])
local found = redis.call('XRANGE', KEYS[2], ARGV[4], ARGV[4])
if #pending == 0 or #found == 0 then
  return false
end
redis.call('XCLAIM', KEYS[2], ARGV[1], ARGV[3], 0, ARGV[4], 'JUSTID') -- no attempt: nobody ran it
return {found[1][2][2], pending[1][4]}
