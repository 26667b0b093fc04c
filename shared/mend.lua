-- Make the group's lag true again. Redis 7.0 does not write down how far a group has counted, only
-- how far it has read: after a restart or a failover its lag may be too large for good, and whoever
-- waits for a small backlog would wait for ever.
-- KEYS: the stream. ARGV: group, how many entries to count at most. Returns 1 where it was wrong.
local stream, last = {}, nil
local reply = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #reply, 2 do
  stream[reply[i]] = reply[i + 1]
end
for _, found in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #found, 2 do
    group[found[i]] = found[i + 1]
  end
  if group['name'] == ARGV[1] and group['lag'] and group['lag'] > 0 then
    last = group['last-delivered-id']
    local left, after = 0, '(' .. last
    repeat
      local entries = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 100)
      left = left + #entries
      if #entries > 0 then
        after = '(' .. entries[#entries][1]
      end
    until #entries == 0 or left > tonumber(ARGV[2])
    if left < group['lag'] and left <= tonumber(ARGV[2]) then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], last,
                 'ENTRIESREAD', stream['entries-added'] - left)
      return 1
    end
  end
end
return 0
