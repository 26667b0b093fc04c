#!lua flags=allow-oom
-- The stretch after an entry is in the archive's manifest: go on from its end.
-- KEYS: the archive's marks. ARGV: stream, the entry before, the last one, how many.
local past = redis.call('HGET', KEYS[1], ARGV[1] .. ':until') or '0-0'
if past ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1] .. ':until', ARGV[3])
redis.call('HINCRBY', KEYS[1], ARGV[1] .. ':rows', ARGV[4])
redis.call('HDEL', KEYS[1], ARGV[1] .. ':plan')
return 1
