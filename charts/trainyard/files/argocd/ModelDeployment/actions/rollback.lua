-- Back to a version that served before: the one before, or the one whose number is given. `argocd app actions run` cannot
-- give parameters, and before Argo CD 3.1 nobody can: then it is the one before.
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

-- The resourceVersion makes two clicks in one second two tokens.
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "rollback/" .. version .. "/" .. token
return obj
