#!lua flags=allow-oom
-- Decide which entries the next stretch holds, once: whoever archives after a crash does the same.
-- KEYS: the archive's marks. ARGV: stream, the end of what is archived, the bounds.
-- Returns the bounds in force, or nothing when the end is another one.
local past = redis.call('HGET', KEYS[1], ARGV[1] .. ':until') or '0-0'
if past ~= ARGV[2] then
  return false
end
redis.call('HSETNX', KEYS[1], ARGV[1] .. ':plan', ARGV[3])
return redis.call('HGET', KEYS[1], ARGV[1] .. ':plan')
