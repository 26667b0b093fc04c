-- Delete dead letters by a person's word: the only XDEL there is, and on no other stream.
-- KEYS: the dead stream, the hash of the letters that were requeued.
-- ARGV: the group that settles, the hash's prefix of this partition, entry ids.
-- Returns the ids that were deleted. One whose SQS messages are not settled yet stays: nobody
-- would delete them any more.
local function number_of(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local last_ms, last_seq = -1, -1
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for i = 1, #group, 2 do
      fields[group[i]] = group[i + 1]
    end
    if fields['name'] == ARGV[1] then
      last_ms, last_seq = number_of(fields['last-delivered-id'])
    end
  end
end
local purged = {}
for i = 3, #ARGV do
  local ms, seq = number_of(ARGV[i])
  local read = ms < last_ms or (ms == last_ms and seq <= last_seq)
  if read and #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1) == 0 then
    if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
      purged[#purged + 1] = ARGV[i]
    end
    redis.call('HDEL', KEYS[2], ARGV[2] .. ARGV[i])
  end
end
return purged
