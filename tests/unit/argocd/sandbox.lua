-- Runs one script as Argo CD does. The script has the libraries base, package and table, and two globals; of os it has only
-- time and date, by require. The other libraries are removed first. Prints the result of the script as JSON.
-- Arguments: the script, and a Lua file that returns obj and actionParams.
local write, exit, clock, format, gsub, byte = io.write, os.exit, os.clock, string.format, string.gsub, string.byte
local concat, load_file = table.concat, loadfile
local safe_os = {time = os.time, date = os.date}
local script = assert(loadfile(arg[1]))
local objects = assert(loadfile(arg[2]))

local function quoted(text)
  return '"' .. gsub(text, '[%c"\\]', function(char) return format("\\u%04x", byte(char)) end) .. '"'
end

local function encoded(value)
  if type(value) == "string" then
    return quoted(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local parts = {}
  if next(value) == nil or value[1] ~= nil then -- an empty table is a list, as Argo CD's encoder has it
    for index, each in ipairs(value) do
      parts[index] = encoded(each)
    end
    return "[" .. concat(parts, ",") .. "]"
  end
  for key, each in pairs(value) do
    parts[#parts + 1] = quoted(key) .. ":" .. encoded(each)
  end
  return "{" .. concat(parts, ",") .. "}"
end

for _, name in ipairs({"io", "os", "string", "math", "debug", "coroutine", "channel", "arg"}) do
  _G[name] = nil
  package.loaded[name] = nil
end
package.preload.os = function() return safe_os end
getmetatable("").__index = nil

obj, actionParams = objects()
local began = clock()
local well, result = pcall(script)
local seconds = clock() - began
write(encoded({well = well, result = result == nil and "nil" or result, seconds = seconds}), "\n")
exit(0)
