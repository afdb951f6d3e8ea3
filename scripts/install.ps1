<#
.SYNOPSIS
Prepares a test machine and installs netdma, ioatdma and, if wanted, netdmatest. docs/installing.md tells the same by hand.
.DESCRIPTION
Looks at everything before it changes anything: rights, Windows release, Secure Boot, test signing, the packages. What is
already so is left alone, so it may be run again. scripts\remove.ps1 undoes it. Not yet run on Windows (docs/evidence.md).
.PARAMETER Packages
The folder with netdma_package, ioatdma_package and netdmatest_package.
.PARAMETER WithTest
Installs the test client as well.
.EXAMPLE
.\install.ps1 -Packages C:\netdma\packages -WithTest -WhatIf
#>
[CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
param(
    [Parameter(Mandatory)] [string] $Packages,
    [switch] $WithTest
)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'netdma.psm1') -Force

Assert-NetDmaMachine
$wanted = Get-NetDmaPackages | Where-Object -FilterScript { $WithTest -or $_ -ne 'netdmatest' }
foreach ($name in $wanted) {
    foreach ($extension in 'inf', 'sys', 'cat') {
        $file = Join-Path -Path $Packages -ChildPath "${name}_package\$name.$extension"
        if (-not (Test-Path -Path $file -PathType Leaf)) {
            throw "$file is missing: build the packages (docs/building.md) and give their folder as -Packages."
        }
    }
}

if (-not (Test-NetDmaTestSigning)) {
    if (Test-NetDmaSecureBoot) {
        throw 'Secure Boot is on, and with it Windows takes no test-signed driver: turn it off in the firmware setup.'
    }
    if ($PSCmdlet.ShouldProcess('this machine', 'allow test-signed drivers (bcdedit /set testsigning on)')) {
        Invoke-NetDmaTool -Program 'bcdedit.exe' -Arguments '/set', 'testsigning', 'on' | Out-Null
        Write-Warning -Message 'Test signing is on from the next start. Restart, then run this again.'
        return
    }
}

# The certificates that the packages bring, one or several files.
$certificates = Get-ChildItem -Path $Packages -Filter '*.cer' -Recurse -File
foreach ($certificate in $certificates) {
    $loaded = New-Object -TypeName Security.Cryptography.X509Certificates.X509Certificate2 -ArgumentList $certificate.FullName
    foreach ($store in 'Root', 'TrustedPublisher') {
        if (Test-Path -Path "Cert:\LocalMachine\$store\$($loaded.Thumbprint)") { continue }
        if ($PSCmdlet.ShouldProcess("store $store", "trust $($certificate.Name) ($($loaded.Thumbprint))")) {
            Import-Certificate -FilePath $certificate.FullName -CertStoreLocation "Cert:\LocalMachine\$store" | Out-Null
        }
    }
}

foreach ($name in $wanted) {
    $inf = Join-Path -Path $Packages -ChildPath "${name}_package\$name.inf"
    if ($PSCmdlet.ShouldProcess($inf, 'install (pnputil /add-driver /install)')) {
        # 0: done. 259: nothing to do, no device matches or all have a better driver. 3010: done, restart to finish.
        $text = Invoke-NetDmaTool -Program 'pnputil.exe' -Arguments '/add-driver', $inf, '/install' -Good 0, 259, 3010
        Write-Output -InputObject "$name`: $(($text -split "`r?`n" | Where-Object -FilterScript { $_.Trim() } | Select-Object -Last 1))"
    }
}
Get-NetDmaInstalled
