-- Take or keep the lead of one partition of a stage that folds state.
-- KEYS: the active key, the standby key. ARGV: consumer, milliseconds, how many partitions the
-- consumer's process leads. Returns {1 while `consumer` leads, else 0; milliseconds until the lead
-- runs out; the fewest partitions that a standby leads, -1 without one}.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  local fewest = redis.call('GET', KEYS[2])
  if not fewest or tonumber(ARGV[3]) <= tonumber(fewest) then
    -- A standby looks this often. Nobody should give up a partition for one that has died.
    local look_ms = math.min(math.floor(ARGV[2] / 2), 1000)
    redis.call('SET', KEYS[2], ARGV[3], 'PX', look_ms + 100)
  end
  return {0, redis.call('PTTL', KEYS[1]), -1}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if not leader then
  redis.call('DEL', KEYS[2]) -- the mark may be its own; other standbys come again
end
return {1, tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[2]) or -1)}
