-- Puts a dead entry back into its stream as new, with the time at which it first came; answers 1, or 0 when there is
-- none of that id.
-- KEYS: dead stream, stream. ARGV: id.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end
local fields, add, first = entry[2], { 'XADD', KEYS[2], '*' }, string.match(entry[2][6], '^(%d+)-')
for i = 7, #fields, 2 do
  if fields[i] == 'at' then
    first = fields[i + 1]
  else
    add[#add + 1] = fields[i]
    add[#add + 1] = fields[i + 1]
  end
end
add[#add + 1] = 'at'
add[#add + 1] = first
redis.call(unpack(add))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
