-- Try a rejected version again: the version in the parameter, otherwise the newest rejected version.
local os = require("os")
local version = actionParams and actionParams["version"] or ""
if version == "" then
  version = 0
  for _, each in ipairs(obj.status and obj.status.rejectedVersions or {}) do
    if each.version > version then
      version = each.version
    end
  end
  if version == 0 then
    error("there is no rejected version to try again", 0)
  end
end
local number = tonumber(version)
if number == nil or number < 1 or number > 999999999999999 or number % 1 ~= 0 then
  error("version must be a whole number such as 7, not " .. version, 0)
end

-- The resourceVersion makes the token unique, even after two clicks within one second.
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "retry/" .. tostring(number) .. "/" .. token
return obj
