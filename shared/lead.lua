#!lua flags=allow-oom
-- Take or keep the lead of a stage of which one may be active; also in a Redis that is full, for the
-- archiver makes room in it.
-- KEYS: the active key. ARGV: consumer, milliseconds. Returns 1 while `consumer` leads.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
