#!lua flags=allow-oom
-- The only place that removes entries: those that are archived, handled by every group, pending in
-- none, and not after what the caller wants to keep.
-- KEYS: the stream, the archive's marks. ARGV: stream, its group (empty: none reads it), the first
-- entry to keep, how many may go in one step. Returns how many went; 0: there are no more.
local function parse(id)
  local ms, number = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(number) or 0
end
local function before(one, other)
  local a, b = parse(one)
  local c, d = parse(other)
  return a < c or (a == c and b < d)
end
local function next_id(id)
  local ms, number = parse(id)
  return string.format('%.0f-%.0f', ms, number + 1)
end

local past = redis.call('HGET', KEYS[2], ARGV[1] .. ':until')
if not past or redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local first_kept = next_id(past)
local function keep(id)
  if before(id, first_kept) then
    first_kept = id
  end
end
keep(ARGV[3])
local is_read = ARGV[2] == ''
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #fields, 2 do
    group[fields[i]] = fields[i + 1]
  end
  is_read = is_read or group['name'] == ARGV[2]
  keep(next_id(group['last-delivered-id']))
  if group['pending'] > 0 then
    keep(redis.call('XPENDING', KEYS[1], group['name'])[2])
  end
end
if not is_read then
  return 0
end
local gone = redis.call('XTRIM', KEYS[1], 'MINID', '~', first_kept, 'LIMIT', ARGV[4])
if gone == 0 then
  gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', first_kept)
end
return gone
