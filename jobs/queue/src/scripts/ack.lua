-- Acknowledges and deletes what this consumer still owns; answers the ids of what it does not.
-- KEYS: stream, count of the jobs that have no entry of their own. ARGV: group, consumer, the time in ms until which
-- nobody else can have claimed any of these, ids in ascending order...
local stream, group, consumer, sure_until = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local mine, others = {}, {}
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 < sure_until then
  for i = 4, #ARGV do
    mine[i - 3] = ARGV[i]
  end
else
  -- What it owns between the first and the last, in one call: as a rule just these.
  local owned = {}
  for _, pending in ipairs(redis.call('XPENDING', stream, group, ARGV[4], ARGV[#ARGV], #ARGV - 3, consumer)) do
    owned[pending[1]] = true
  end
  for i = 4, #ARGV do
    local id = ARGV[i]
    local is_mine = owned[id] or redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
    local list = is_mine and mine or others
    list[#list + 1] = id
  end
end
if #mine > 0 then
  redis.call('XACK', stream, group, unpack(mine))
  redis.call('XDEL', stream, unpack(mine))
  -- Whatever was deleted by hand, an empty stream holds no packs.
  if redis.call('XLEN', stream) == 0 then
    redis.call('DEL', KEYS[2])
  end
end
return others
