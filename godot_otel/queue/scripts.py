"""What happens in the server as one step; each a Lua script.

Keys are those of one shard: the stream first, then its meta hash.
"""

from __future__ import annotations

# allow-oom: a server out of memory must still let itself be drained, and must answer
# FULL rather than with an error; so admission checks memory by itself.
ADMIT = """#!lua flags=allow-oom
local m = redis.call('HMGET', KEYS[2], 'max_bytes', 'max_records', 'bytes', 'records',
                     'level_version')
local size, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, records = tonumber(m[3] or 0), tonumber(m[4] or 0)
if bytes + size > tonumber(m[1] or ARGV[3]) then return {0, 'bytes'} end
if records + count > tonumber(m[2] or ARGV[4]) then return {0, 'records'} end
local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)') or 0)
  local used = tonumber(string.match(info, 'used_memory:(%d+)') or 0)
  if limit > 0 and used + 2 * size > limit then return {0, 'memory'} end
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[2], 'bytes', size)
redis.call('HINCRBY', KEYS[2], 'records', count)
redis.call('HINCRBY', KEYS[2], 'admitted_batches', 1)
redis.call('HINCRBY', KEYS[2], 'admitted_records', count)
return {1, id, m[5] or '0'}
"""

# Only what XDEL really removed is subtracted: a second acknowledgement of the same
# entry changes nothing. Sums below nothing and those of an empty stream are reset,
# which heals them after somebody wrote to or trimmed the stream by hand.
ACKNOWLEDGE = """#!lua flags=allow-oom
local removed = 0
for i = 2, #ARGV, 3 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    removed = removed + 1
    redis.call('HINCRBY', KEYS[2], 'bytes', -tonumber(ARGV[i + 1]))
    redis.call('HINCRBY', KEYS[2], 'records', -tonumber(ARGV[i + 2]))
  end
end
local empty = redis.call('XLEN', KEYS[1]) == 0
for _, sum in ipairs({'bytes', 'records'}) do
  if empty or tonumber(redis.call('HGET', KEYS[2], sum) or 0) < 0 then
    redis.call('HSET', KEYS[2], sum, 0)
  end
end
return removed
"""

DEPTH = """#!lua flags=no-writes,allow-oom
local m = redis.call('HMGET', KEYS[2], 'bytes', 'records', 'max_bytes', 'max_records',
                     'admitted_batches', 'admitted_records')
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local now = redis.call('TIME')
local age = 0
if first then
  age = now[1] * 1000 + math.floor(now[2] / 1000)
        - tonumber(string.match(first[1], '^%d+'))
end
return {redis.call('XLEN', KEYS[1]), m[1] or '0', m[2] or '0', m[3] or ARGV[1],
        m[4] or ARGV[2], tostring(age), m[5] or '0', m[6] or '0'}
"""

# What came in last, without the payloads: they stay in the server.
NEWEST = """#!lua flags=no-writes,allow-oom
local now = redis.call('TIME')
local found = {tostring(now[1] * 1000 + math.floor(now[2] / 1000))}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  local source, size = '', 0
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'source' then source = entry[2][i + 1] end
    if entry[2][i] == 'payload' then size = #entry[2][i + 1] end
  end
  table.insert(found, {entry[1], source, size})
end
return found
"""

# A consumer's name may be forgotten only with nothing pending: XGROUP DELCONSUMER
# drops what is. One script, so that it cannot read something in between.
FORGET = """#!lua flags=allow-oom
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #pending > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
