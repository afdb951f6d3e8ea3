<#
.SYNOPSIS
Turns Driver Verifier on for the three images, shows it, or turns it off. docs/driver-verifier.md tells what each level finds.
.DESCRIPTION
All three images are named, because netdma.sys owns the DMA adapters that ioatdma.sys' engine works with. Settings take
effect with the next start. Not yet run on Windows (docs/evidence.md).
.PARAMETER Level
standard: what should always be on in a test. lowresources: the same, with allocations that fail by chance.
.PARAMETER Off
Takes our images out of Driver Verifier.
.PARAMETER Query
Only shows what is set and what runs.
.EXAMPLE
.\verifier.ps1 -Level standard -WhatIf
#>
[CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High', DefaultParameterSetName = 'On')]
param(
    [Parameter(ParameterSetName = 'On')] [ValidateSet('standard', 'lowresources')] [string] $Level = 'standard',
    [Parameter(ParameterSetName = 'Off', Mandatory)] [switch] $Off,
    [Parameter(ParameterSetName = 'Query', Mandatory)] [switch] $Query
)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'netdma.psm1') -Force

Assert-NetDmaMachine
if ($Query) {
    & verifier.exe /querysettings
    & verifier.exe /query
    return
}

# Driver Verifier has one list of drivers for the whole machine: somebody else's is not thrown away in silence.
$key = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management'
$property = Get-ItemProperty -Path $key
$now = if ($property.PSObject.Properties.Name -contains 'VerifyDrivers') { [string] $property.VerifyDrivers } else { '' }
$others = @($now -split '\s+' | Where-Object -FilterScript { $_ -and ((Get-NetDmaImages) -notcontains $_) })
if ($others.Count -ne 0) {
    throw "Driver Verifier is set for other drivers ($($others -join ' ')): 'verifier /reset' clears them, then run this again."
}

if ($Off) {
    if ($PSCmdlet.ShouldProcess('Driver Verifier', 'clear all settings (verifier /reset)')) {
        # 2: done, restart for it to take effect.
        Invoke-NetDmaTool -Program 'verifier.exe' -Arguments '/reset' -Good 0, 2 | Out-Null
        Write-Warning -Message 'Driver Verifier is off from the next start.'
    }
    return
}
$images = Get-NetDmaImages
# /standard includes WDF verification, which /flags does not turn on after Windows 10 1803. Class 3 is randomized low
# resources; the others are the standard classes ("Driver Verifier Command Syntax").
$arguments = switch ($Level) {
    'standard' { @('/standard', '/driver') + $images }
    'lowresources' { @('/ruleclasses', '1', '2', '3', '4', '5', '6', '8', '9', '12', '18', '34', '/driver') + $images }
}
if ($PSCmdlet.ShouldProcess($images -join ', ', "verifier $($arguments -join ' ')")) {
    Invoke-NetDmaTool -Program 'verifier.exe' -Arguments $arguments -Good 0, 2 | Out-Null
    Write-Warning -Message 'Driver Verifier is on from the next start. .\verifier.ps1 -Off undoes it.'
}
