-- Takes an entry that this consumer still owns out of the stream, and puts it among the dead if it is to be kept.
-- A dead entry begins with `reason`, `attempts` and `id`; the fields of the entry follow as they were.
-- KEYS: stream, dead stream. ARGV: group, consumer, id, keep (1 or 0), reason, attempts, limit of the dead (0: none).
local id = ARGV[3]
if not redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])[1] then
  return 0
end
local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
if entry and ARGV[4] == '1' then
  local add = { 'XADD', KEYS[2] }
  if ARGV[7] ~= '0' then
    add[3], add[4], add[5] = 'MAXLEN', '~', ARGV[7]
  end
  for _, word in ipairs({ '*', 'reason', ARGV[5], 'attempts', ARGV[6], 'id', id }) do
    add[#add + 1] = word
  end
  -- A command takes fewer than 8,000 arguments here; garbage that is larger is cut.
  for i = 1, math.min(#entry[2], 4000) do
    add[#add + 1] = entry[2][i]
  end
  redis.call(unpack(add))
end
redis.call('XACK', KEYS[1], ARGV[1], id)
redis.call('XDEL', KEYS[1], id)
return 1
