-- A rejected version is Healthy: the check worked, and no ModelDeployment serves the version.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator"}
end

local ready
for _, each in ipairs(status.conditions or {}) do
  if each.type == "Stalled" and each.status == "True" then
    return {status = "Degraded", message = each.reason .. ": " .. (each.message or "")}
  end
  if each.type == "Ready" then
    ready = each
  end
end

if status.phase == nil or status.phase == "Pending" then
  return {status = "Progressing", message = ready and ready.message or "waiting for its gates"}
end
local message = status.phase
if ready and ready.message and ready.message ~= "" then
  message = message .. ": " .. ready.message
end
return {status = "Healthy", message = message}
