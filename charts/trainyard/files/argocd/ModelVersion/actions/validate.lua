-- A person overrides the gates and gives a reason. The operator stores both in the status.
local os = require("os")
local reason = actionParams and actionParams["reason"] or ""
if reason == "" then
  error("set the parameter reason: why this version is good enough although its gates rejected it", 0)
end

-- The resourceVersion makes the token unique, even after two clicks within one second.
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "validate/" .. token
obj.metadata.annotations["trainyard.dev/action-reason"] = reason
return obj
