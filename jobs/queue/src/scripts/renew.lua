-- Makes what this consumer still owns fresh again; answers the ids of what it does not own.
-- KEYS: stream. ARGV: group, consumer, ids...
local claim, others = { 'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0 }, {}
local options = #claim
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  local list = pending[1] and claim or others
  list[#list + 1] = ARGV[i]
end
if #claim > options then
  claim[#claim + 1] = 'JUSTID'
  redis.call(unpack(claim))
end
return others
