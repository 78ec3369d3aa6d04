-- A person takes the place of the gates, and says why: the operator keeps both in the status.
local os = require("os")
local reason = actionParams and actionParams["reason"] or ""
if reason == "" then
  error("give the parameter reason: why this version is good enough although its gates refused it", 0)
end

-- The resourceVersion makes two clicks in one second two tokens.
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "validate/" .. token
obj.metadata.annotations["trainyard.dev/action-reason"] = reason
return obj
