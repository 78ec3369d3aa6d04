-- Roll back to the version in the parameter, otherwise to the previous version. `argocd app actions run` has no
-- parameters, and Argo CD before 3.1 has none at all.
local os = require("os")
local version = actionParams and actionParams["version"] or ""
if version == "" then
  version = "previous"
end
if version ~= "previous" then
  local number = tonumber(version)
  if number == nil or number < 1 or number > 999999999999999 or number % 1 ~= 0 then
    error("version must be a whole number such as 6, or previous, not " .. version, 0)
  end
  version = tostring(number)
end

-- The resourceVersion makes the token unique, even after two clicks within one second.
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "rollback/" .. version .. "/" .. token
return obj
