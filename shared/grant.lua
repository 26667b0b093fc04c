-- Remember the memory limit in force of a function; an older change does not undo a newer one.
-- KEYS: the limits. ARGV: function id, Unix milliseconds of the change, megabytes.
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and tonumber(string.match(known, '^(%d+):')) > tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
return 1
